//! configSetup, the file that scripts source, under bash and under dash.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod checks;
mod failing;
mod sourced;
mod tree;
