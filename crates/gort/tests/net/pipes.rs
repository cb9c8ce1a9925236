//! Pipes of the system, where they differ from sockets.

use super::support::{assert_error, ms, wait_parked};
use gort::io::pipe;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

/// FS-02. The reader is closed: 20 writes each give `BrokenPipe`, and the process is not killed.
#[gort::test(procs = [1, 2, 4])]
fn a_pipe_without_reader_is_broken_each_time() {
    let (reader, mut writer) = pipe().unwrap();
    drop(reader);
    for _ in 0..20 {
        assert_error(writer.write(b"hello"), ErrorKind::BrokenPipe);
    }
}

/// FS-03. Three lines with pauses of 10 ms are read one by one by a parked reader; after the writer has closed, the parked reader gets `Ok(0)`.
#[gort::test(procs = [1, 2, 4])]
fn lines_with_pauses_are_read_one_by_one_and_then_the_end() {
    let (reader, mut writer) = pipe().unwrap();
    gort::scope(|s| {
        let (said, heard) = gort::chan::bounded(0);
        let reading = s.spawn(move || {
            let mut lines = BufReader::new(reader);
            loop {
                let mut line = String::new();
                let count = lines.read_line(&mut line).unwrap();
                said.send(line).unwrap();
                if count == 0 {
                    return lines.into_inner().read(&mut [0]).unwrap();
                }
            }
        });
        for line in ["one\n", "two\n", "three\n"] {
            gort::sleep(ms(10));
            wait_parked(reading.goroutine().id(), "IO wait, read");
            writer.write_all(line.as_bytes()).unwrap();
            assert_eq!(heard.recv().unwrap(), line);
        }
        wait_parked(reading.goroutine().id(), "IO wait, read");
        drop(writer);
        assert_eq!(heard.recv().unwrap(), "");
        assert_eq!(reading.join().unwrap(), 0);
    });
}
