//! libFuzzer for [`twowarm_fuzz::restart_point`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::restart_point(data));
