//! libFuzzer for [`twowarm_fuzz::fetch_message`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::fetch_message(data));
