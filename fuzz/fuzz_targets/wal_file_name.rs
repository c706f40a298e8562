//! libFuzzer for [`twowarm_fuzz::wal_file_name`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::wal_file_name(data));
