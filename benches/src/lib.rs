//! Benches of twowarm; see `benches/benches`.
