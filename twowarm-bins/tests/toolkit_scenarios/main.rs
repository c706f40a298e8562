//! Scenarios of the whole toolkit, between real nodes, with a load that is counted.
#![cfg(feature = "testbed")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its tests share")]

mod broken_off;
mod dr;
mod load;
mod manual;
mod round_trips;
mod running;
mod site;
mod streaming;
mod trio;
mod without_dr;
