import SimulatorKit

SimulatorProgram.run()
