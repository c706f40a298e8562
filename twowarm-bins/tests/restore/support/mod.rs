//! What the tests of restoreWALFile share: WAL that a real server wrote, and data directories with an archive
//! from which the real binary restores it.

mod cluster;
mod scratch;

pub use cluster::{Cluster, cluster, segments_in};
pub use scratch::Scratch;
pub use twowarm_core::testbed::{
    BedError, Call, Ended, LIMIT, NEWER_MAJOR, Node, StopMode, Testbed, WarmPair, names_in,
    newer_control, newer_segment, wait_until,
};

/// The built command.
pub const RESTORE_WAL_FILE: &str = env!("CARGO_BIN_EXE_restoreWALFile");

/// A node with restoreWALFile, a data directory and an empty archive, but no server: for calls that are made as
/// the servers' user.
pub fn node_without_server() -> Node {
    let node = Testbed::new().unwrap().node("db2").unwrap();
    node.install_commands(RESTORE_WAL_FILE, &["restoreWALFile"]).unwrap();
    node.run_as().make_dir(&node.pgdata(), 0o700).unwrap();
    node.run_as().make_dir(&node.archive(), 0o700).unwrap();
    node
}

/// A primary that archives into the archive of a warm standby that restores with restoreWALFile.
pub fn restoring_pair(hot: bool, initdb: &[&str]) -> Result<WarmPair, BedError> {
    let pair = WarmPair::new("restoreWALFile", hot, initdb)?;
    pair.standby.install_commands(RESTORE_WAL_FILE, &["restoreWALFile"])?;
    pair.standby.recover_with(
        "restore_command = '../2warm/global/replication/restoreWALFile %f %p %r'\n\
         recovery_target_timeline = 'latest'",
    )?;
    Ok(pair)
}
