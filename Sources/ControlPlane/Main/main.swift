import ControlKit

ControlPlaneProcess.run()
