//! What the bridge knows of tables and routes.

mod column;
mod compare;
mod ddl;
mod live;
mod route;
mod shipped_tables;
mod table;

pub use column::{Column, ColumnType, UnknownType};
pub use compare::{Mismatch, Severity};
pub use live::{Behind, LiveColumn, LiveTable};
pub use route::{
    BadPattern, ColumnSettings, EXTERNAL_TYPES, ExcessDigits, Field, Latest, Path, Route,
    RouteProblem, RouteSettings, Subjects, Supply, TIMEFRAMES, TextForm, TimeForm, TimeRange,
};
pub use table::{PartitionKey, PartitionUnit, Table};

use crate::units::TableId;

/// All tables the bridge writes to, and the routes that lead to them.
#[derive(Clone, Debug)]
pub struct Catalog {
    tables: Vec<Table>,
    routes: Vec<Route>,
    dead_letters: TableId,
}

impl Catalog {
    /// The tables and routes that ship with the binary.
    #[must_use]
    pub fn shipped() -> Self {
        let mut catalog = Self { tables: Vec::new(), routes: Vec::new(), dead_letters: TableId(0) };
        for table in shipped_tables::shipped_tables() {
            let name = table.name.clone();
            let id = catalog.add_table(table);
            if name == Self::DEAD_LETTERS {
                catalog.dead_letters = id;
            }
        }
        for route in route::shipped_routes(&catalog.tables) {
            catalog.add_route(route);
        }
        catalog
    }

    /// Whether a table of this name ships with the binary; all others are the user's own.
    #[must_use]
    pub fn ships(table: &str) -> bool {
        shipped_tables::shipped_tables().iter().any(|shipped| shipped.name == table)
    }

    /// Name of the table that takes what cannot become a row of its own table.
    pub const DEAD_LETTERS: &'static str = "dead_letters";

    /// Adds a table, or replaces the one of that name, whose id it then takes.
    ///
    /// # Panics
    /// With more than 65,536 tables.
    pub fn add_table(&mut self, table: Table) -> TableId {
        if let Some(id) = self.table_id(&table.name) {
            self.tables[usize::from(id.0)] = table;
            return id;
        }
        let id = u16::try_from(self.tables.len()).expect("a catalog has at most 65,536 tables");
        self.tables.push(table);
        TableId(id)
    }

    /// All tables, in the order of their ids.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The table of an id that this catalog gave out.
    #[must_use]
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[usize::from(id.0)]
    }

    /// The id of the table with this name.
    #[must_use]
    pub fn table_id(&self, name: &str) -> Option<TableId> {
        let index = self.tables.iter().position(|table| table.name == name)?;
        u16::try_from(index).ok().map(TableId)
    }

    /// The table `dead_letters`.
    #[must_use]
    pub fn dead_letters(&self) -> TableId {
        self.dead_letters
    }
}
