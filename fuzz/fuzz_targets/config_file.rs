//! libFuzzer for [`twowarm_fuzz::config_file`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::config_file(data));
