//! A table of text: columns as wide as they must be, no lines, notes below rows.

/// Rows of cells under a head.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Line>,
    columns: usize,
}

#[derive(Debug)]
enum Line {
    Cells(Vec<Cell>),
    Note(String),
}

/// A text and how it stands.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    is_right: bool,
    colour: Colour,
}

/// Of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// As it is.
    Plain,
    /// Well.
    Green,
    /// Not quite.
    Yellow,
    /// Bad.
    Red,
    /// Of a head or a note.
    Dim,
}

impl Cell {
    pub(super) fn left(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_right: false, colour: Colour::Plain }
    }

    pub(super) fn right(text: impl Into<String>) -> Self {
        Self { is_right: true, ..Self::left(text) }
    }

    pub(super) fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        let cells = head.iter().map(|name| Cell::left(*name).coloured(Colour::Dim)).collect();
        Self { rows: vec![Line::Cells(cells)], columns: head.len() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns, "a cell for each column");
        self.rows.push(Line::Cells(cells));
    }

    /// A line of its own below the last row.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.rows.push(Line::Note(text.into()));
    }

    pub(super) fn text(&self, colours: bool) -> String {
        let mut widths = vec![0; self.columns];
        let mut is_right = vec![false; self.columns];
        for row in &self.rows {
            if let Line::Cells(cells) = row {
                for (index, cell) in cells.iter().enumerate() {
                    widths[index] = widths[index].max(cell.text.chars().count());
                    is_right[index] |= cell.is_right;
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            match row {
                Line::Note(note) => {
                    let indent = widths[0] + 2;
                    text.push_str(&" ".repeat(indent));
                    text.push_str(&paint(&format!("└ {note}"), Colour::Dim, colours));
                }
                Line::Cells(cells) => {
                    let mut line = String::new();
                    for (index, cell) in cells.iter().enumerate() {
                        let blanks = " ".repeat(widths[index] - cell.text.chars().count());
                        let shown = paint(&cell.text, cell.colour, colours);
                        let (before, behind) =
                            if is_right[index] { (&blanks[..], "") } else { ("", &blanks[..]) };
                        line.push_str(before);
                        line.push_str(&shown);
                        line.push_str(behind);
                        line.push_str("  ");
                    }
                    text.push_str(line.trim_end());
                }
            }
            text.push('\n');
        }
        text
    }
}

/// A text in a colour, where colours are wanted.
pub(super) fn paint(text: &str, colour: Colour, colours: bool) -> String {
    let code = match colour {
        Colour::Plain => return text.to_owned(),
        _ if !colours => return text.to_owned(),
        Colour::Green => "32",
        Colour::Yellow => "33",
        Colour::Red => "31",
        Colour::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_with_and_without_colours() {
        let mut table = Table::new(&["#", "name", "state"]);
        table.row(vec![
            Cell::right("1"),
            Cell::left("änne"),
            Cell::left("ok").coloured(Colour::Green),
        ]);
        table.note("why");
        table.row(vec![Cell::right("22"), Cell::left("b"), Cell::left("not ready")]);
        let text = table.text(false);
        assert_eq!(text, " #  name  state\n 1  änne  ok\n    └ why\n22  b     not ready\n");
        let coloured = table.text(true);
        assert!(coloured.contains("\x1b[32mok\x1b[0m"), "{coloured}");
    }
}
