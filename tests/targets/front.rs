// Front: Rust's std alone, a thread for each connection, which keeps one connection to the back. Usage: front PORT BACKPORT.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

// A head's lines and its body, of the length the head tells; None at the end.
fn message(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut size) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            size = value.trim().parse().ok()?;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn serve(client: TcpStream, back_port: &str) -> Option<()> {
    let mut writer = client.try_clone().ok()?;
    let mut reader = BufReader::new(client);
    let mut back_writer = TcpStream::connect(format!("127.0.0.1:{back_port}")).ok()?;
    let mut back_reader = BufReader::new(back_writer.try_clone().ok()?);
    while let Some((head, _)) = message(&mut reader) {
        let query = head.split(' ').nth(1)?.split('?').nth(1)?;
        // write! sends a head in many pieces
        write!(back_writer, "GET /leaf?{query} HTTP/1.1\r\nHost: 127.0.0.1:{back_port}\r\n\r\n").ok()?;
        let (_, body) = message(&mut back_reader)?;
        let length = body.len();
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n").ok()?;
        writer.write_all(&body).ok()?;
    }
    Some(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let listener = TcpListener::bind(format!("127.0.0.1:{}", arguments[1])).expect("bind");
    for client in listener.incoming().flatten() {
        let back_port = arguments[2].clone();
        std::thread::spawn(move || serve(client, &back_port));
    }
}
