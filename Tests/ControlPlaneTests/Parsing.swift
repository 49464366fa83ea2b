import Formats

/// JSON from a literal of a test.
func json(_ text: String) throws -> JSON { try JSON(text: text) }
