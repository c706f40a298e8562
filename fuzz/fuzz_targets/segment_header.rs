//! libFuzzer for [`twowarm_fuzz::segment_header`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::segment_header(data));
