//! What the benches share: samples, and the table that compares them. `docs/benchmarks.md` says how
//! the benches are run and what they showed.

mod samples;
mod table;

pub use samples::Samples;
pub use table::Table;
