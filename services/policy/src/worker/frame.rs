//! One message on a pipe: four bytes of length, most significant first, then JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message: a tenant's modules, every character of them escaped.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;
const HEADER: usize = 4;

/// A message as it goes over the pipe.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len().saturating_sub(HEADER);
    if length > MAX_BYTES {
        return Err(too_long(length));
    }
    let header = u32::try_from(length).map_err(|_| too_long(length))?;
    if let Some(place) = frame.get_mut(..HEADER) {
        place.copy_from_slice(&header.to_be_bytes());
    }
    Ok(frame)
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes, at most {MAX_BYTES} are allowed"))
}

fn length(header: [u8; HEADER]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > MAX_BYTES {
        return Err(too_long(length));
    }
    Ok(length)
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(io::Error::from)
}

/// Reads a message; `None` when the pipe ends between two.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut header = [0; HEADER];
    let mut first = [0];
    loop {
        match from.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [start, rest @ ..] = &mut header;
    *start = first[0];
    from.read_exact(rest)?;
    let mut body = vec![0; length(header)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// Writes a message.
pub(super) fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

/// Reads a message from the other side, where nothing may block.
pub(super) async fn read_async<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header).await?;
    let mut body = vec![0; length(header)?];
    from.read_exact(&mut body).await?;
    decode(&body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use runwarden_rego::set::ModuleText;

    use super::super::message::{Reply, Request};
    use super::*;

    fn read_slice<T: DeserializeOwned>(mut bytes: &[u8]) -> io::Result<Option<T>> {
        read(&mut bytes)
    }

    #[test]
    fn a_pipe_that_ends_between_messages_is_no_error_and_within_one_is() {
        assert!(read_slice::<Reply>(&[]).unwrap().is_none());
        assert!(read_slice::<Reply>(&[0, 0]).is_err());
        assert!(read_slice::<Reply>(&[0, 0, 0, 9, b'{']).is_err());
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_without_reading_on() {
        let header = u32::try_from(MAX_BYTES + 1).unwrap().to_be_bytes();
        let error = read_slice::<Reply>(&header).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(encode(&"x".repeat(MAX_BYTES)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_slice::<Request>(&bytes);
            let _ = read_slice::<Reply>(&bytes);
        }

        #[test]
        fn any_body_is_a_message_or_an_error(body in any::<String>()) {
            let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
            frame.extend(body.as_bytes());
            let _ = read_slice::<Request>(&frame);
        }

        #[test]
        fn what_is_written_is_read(name in any::<String>(), rego in any::<String>(), input in any::<String>()) {
            let request = Request::Check {
                modules: vec![ModuleText { name, rego }],
                input,
            };
            let mut pipe = encode(&request).unwrap();
            pipe.extend(encode(&request).unwrap());
            let mut pipe = pipe.as_slice();
            for _ in 0..2 {
                let got: Request = read(&mut pipe).unwrap().unwrap();
                prop_assert_eq!(&got, &request);
            }
            prop_assert!(read::<Request>(&mut pipe).unwrap().is_none());
        }
    }
}
