//! The style of all tables that the commands print.

use comfy_table::{ContentArrangement, Table, presets};

/// The width of a table, in characters, if stdout is not a terminal.
const WIDTH: u16 = 110;

/// A table with a header and no rows.
#[must_use]
pub fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}
