//! configSetup, the text file that scripts source: under bash and under a plain sh.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod checks;
mod failing;
mod sourced;
mod tree;
