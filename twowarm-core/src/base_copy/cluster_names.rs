/// Top-level names in a data directory that initdb, the server and its extensions create, in any version:
/// `subdirs` in initdb.c, the manual's "Database File Layout", pg_prewarm (11 on), pg_upgrade (15 on). All
/// others are configuration or the user's own files.
const CLUSTER: [&str; 23] = [
    "PG_VERSION",
    "autoprewarm.blocks",
    "autoprewarm.blocks.tmp",
    "base",
    "global",
    "pg_clog",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_multixact",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_upgrade_output.d",
    "pg_wal",
    "pg_xact",
    "pg_xlog",
];

/// The server writes this file (9.4 on), and a copy adds the node's settings.
const AUTO_CONF: &str = "postgresql.auto.conf";

/// Filter rules that leave out the cluster, so that a dry run shows what else would be changed.
pub(super) fn rules_without_cluster() -> String {
    CLUSTER.iter().chain([&AUTO_CONF]).map(|name| format!("- /{name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_directory::CONFIGURATION;

    #[test]
    fn the_configuration_is_not_part_of_the_cluster() {
        let rules = rules_without_cluster();
        assert!(rules.contains("- /base\n") && rules.contains("- /pg_xact\n"));
        for name in CONFIGURATION.iter().chain(&["server.key", "pg_"]) {
            assert!(!rules.contains(&format!("/{name}\n")), "{name}");
        }
    }
}
