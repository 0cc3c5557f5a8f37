//! The statement that creates a table.

use super::table::Table;

impl Table {
    /// `CREATE TABLE IF NOT EXISTS` of this table in `database`.
    #[must_use]
    pub fn ddl(&self, database: &str) -> String {
        format!("{database}.{}", self.name)
    }
}
