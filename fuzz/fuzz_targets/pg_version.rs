//! libFuzzer for [`twowarm_fuzz::pg_version`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::pg_version(data));
