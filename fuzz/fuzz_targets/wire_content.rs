//! libFuzzer for [`twowarm_fuzz::wire_content`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::wire_content(data));
