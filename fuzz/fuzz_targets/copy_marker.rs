//! libFuzzer for [`twowarm_fuzz::copy_marker`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::copy_marker(data));
