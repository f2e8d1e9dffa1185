//! The style of every table that a command prints.

use comfy_table::{ContentArrangement, Table, presets};

/// The width of a table that does not go to a terminal, in characters.
const WIDTH: u16 = 110;

/// An empty table.
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
