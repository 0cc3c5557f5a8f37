//! Log lines: text or JSON, each with the instance's id and number.
