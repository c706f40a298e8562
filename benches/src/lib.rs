//! Shared by the benches: samples, and tables that compare them. `docs/benchmarks.md` describes the method and the
//! results.

mod samples;
mod table;

pub use samples::Samples;
pub use table::Table;
