import GatewayKit

try Worker.runProcess()
