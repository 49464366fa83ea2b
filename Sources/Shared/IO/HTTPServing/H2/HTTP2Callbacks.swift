import CNGHTTP2
import HTTPWire

/// nghttp2's callbacks: find the connection or stream, hand the event over.
enum HTTP2Callbacks {
    static func set(_ callbacks: OpaquePointer) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, data in
            guard let frame, let connection = boundConnection(data) else { return callbackFailure }
            connection.didBeginHeaders(
                frame.pointee.hd.stream_id,
                isRequest: frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
            )
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            session,
            frame,
            name,
            nameLength,
            value,
            valueLength,
            _,
            data in
            guard let frame, let connection = boundConnection(data) else { return callbackFailure }
            let isBearable = connection.didReceiveField(
                boundStream(session, frame.pointee.hd.stream_id),
                UnsafeRawBufferPointer(start: name, count: nameLength),
                UnsafeRawBufferPointer(start: value, count: valueLength)
            )
            return isBearable ? 0 : callbackFailure
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, data in
            guard let frame, let connection = boundConnection(data) else { return callbackFailure }
            connection.didReceive(frame, boundStream(session, frame.pointee.hd.stream_id))
            return 0
        }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, data in
            guard let connection = boundConnection(data) else { return callbackFailure }
            connection.didReceiveInvalidFrame()
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, id, bytes, count, data in
            guard let connection = boundConnection(data) else { return callbackFailure }
            connection.didReceiveData(boundStream(session, id), UnsafeRawBufferPointer(start: bytes, count: count))
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, _, data in
            guard let connection = boundConnection(data) else { return callbackFailure }
            connection.didClose(id)
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, source, data in
            guard let header, let connection = boundConnection(data), let stream = boundStream(source) else {
                return callbackFailure
            }
            // A frame that was made while the connection was backed up may have lost its bytes since, when its stream was
            // given up: a header without them would have what follows read as theirs.
            guard stream.pendingBytes >= count else { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
            let isTaken = connection.send(
                stream,
                frameHeader: UnsafeRawBufferPointer(start: header, count: 9),
                count: count
            )
            return isTaken ? 0 : NGHTTP2_ERR_WOULDBLOCK.rawValue
        }
    }

    /// The provider of an answer's DATA frames.
    static func provider(of stream: HTTP2Stream) -> nghttp2_data_provider {
        nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque()),
            read_callback: { _, _, _, limit, flags, source, _ in
                guard let flags, let stream = boundStream(source) else { return Int(callbackFailure) }
                switch stream.readable(limit: limit) {
                case .nothingYet:
                    return Int(NGHTTP2_ERR_DEFERRED.rawValue)
                case .bytes(let count, let isLast):
                    flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
                    if isLast { flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
                    return count
                }
            }
        )
    }
}

// Free functions, because a C function pointer cannot be made of a closure that captures even its type.

private var callbackFailure: Int32 { NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }

private func boundConnection(_ data: UnsafeMutableRawPointer?) -> HTTP2Connection? {
    data.map { Unmanaged<HTTP2Connection>.fromOpaque($0).takeUnretainedValue() }
}

/// Streams stand unretained in nghttp2: their connection keeps them until they are closed.
private func boundStream(_ session: OpaquePointer?, _ id: Int32) -> HTTP2Stream? {
    nghttp2_session_get_stream_user_data(session, id).map {
        Unmanaged<HTTP2Stream>.fromOpaque($0).takeUnretainedValue()
    }
}

private func boundStream(_ source: UnsafeMutablePointer<nghttp2_data_source>?) -> HTTP2Stream? {
    source?.pointee.ptr.map { Unmanaged<HTTP2Stream>.fromOpaque($0).takeUnretainedValue() }
}
