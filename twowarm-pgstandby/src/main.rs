//! `pg_standby`.

fn main() -> std::process::ExitCode {
    twowarm_pgstandby::main()
}
