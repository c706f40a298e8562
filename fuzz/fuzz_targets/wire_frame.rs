//! libFuzzer for [`twowarm_fuzz::wire_frame`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::wire_frame(data));
