use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::eventually;

/// Answers every request with what comes next of that, and then with the last of it.
fn serve(stream: &TcpStream, answers: &[&str], seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut nth = 0;
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        seen.lock().unwrap().push(first.split(' ').nth(1).unwrap().to_owned());
        let answer = answers[nth.min(answers.len() - 1)];
        nth += 1;
        if (&*stream).write_all(answer.as_bytes()).is_err() || answer.contains("close") {
            return;
        }
    }
}

fn server(answers: &'static [&'static str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let all = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = all.clone();
            thread::spawn(move || serve(&stream, answers, &seen));
        }
    });
    (address, seen)
}

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

#[test]
fn every_key_is_written_once_and_the_load_ends_by_itself() {
    let (address, seen) = server(&[CREATED]);
    let order = Order { connections: 3, depth: 4, count: 100, ..Order::writes(vec![address], 10) };
    let mut load = Generator::start(order);
    let totals = load.end().unwrap();
    assert_eq!((totals.answered, totals.failures(), load.next_key()), (100, 0, 100));
    let mut keys = seen.lock().unwrap().clone();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 100);
    assert_eq!(load.windows().iter().map(|window| window.answered).sum::<u64>(), 100);
}

#[test]
fn what_is_refused_or_cut_is_counted_by_kind_and_the_load_goes_on() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 4\r\n\r\nfull",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ];
    let (address, _) = server(ANSWERS);
    let order = Order { connections: 1, count: 4, ..Order::writes(vec![address], 10) };
    let totals = Generator::start(order).end().unwrap();
    assert_eq!((totals.answered, totals.failures_by_status()), (0, "2 × 503, 2 × 507".into()));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let order = Order { connections: 1, count: 2, ..Order::writes(vec![closed], 10) };
    assert_eq!(Generator::start(order).end().unwrap().failures_by_status(), "2 cut");
}

#[test]
fn a_load_with_a_rate_asks_for_no_more_than_is_due_and_stops_when_it_is_told_to() {
    let (address, _) = server(&[CREATED]);
    let order = Order { rate: Some(100), connections: 8, depth: 8, ..Order::writes(vec![address], 10) };
    let mut load = Generator::start(order);
    eventually("a few are answered", || (load.totals().answered >= 5).then_some(()));
    let totals = load.stop().unwrap();
    // The first is due at once.
    let due = load.elapsed().as_millis() / 10 + 1;
    assert!(u128::from(totals.answered) <= due, "{} of {due}", totals.answered);
}
