//! libFuzzer for [`twowarm_fuzz::archive_owner`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::archive_owner(data));
