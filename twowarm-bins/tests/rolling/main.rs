//! A pair set up with the scripts of 2warm, which are replaced by our commands one at a time. The scripts are
//! stand-ins that send the same files under the same names, and source configSetup in the same way, as the
//! originals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod failovers;
mod flush;
mod orders;
mod pair;
mod stand_ins;
