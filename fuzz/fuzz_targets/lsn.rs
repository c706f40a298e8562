//! libFuzzer for [`twowarm_fuzz::lsn`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::lsn(data));
