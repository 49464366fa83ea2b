import CNGHTTP2
import HTTPWire
import Reactor

/// What nghttp2 calls. Each finds the connection and says what happened.
extension HTTP2Connection {
    private static func from(_ userData: UnsafeMutableRawPointer?) -> HTTP2Connection? {
        userData.map { Unmanaged<HTTP2Connection>.fromOpaque($0).takeUnretainedValue() }
    }

    static func setCallbacks(_ callbacks: OpaquePointer) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, userData in
            guard let header else { return 0 }
            HTTP2Connection.from(userData)?.willReceive(header.pointee)
            return 0
        }
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, userData in
            guard let frame else { return 0 }
            HTTP2Connection.from(userData)?.headDidBegin(frame.pointee.hd.stream_id)
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _,
            _,
            name,
            nameCount,
            value,
            valueCount,
            _,
            userData in
            guard let connection = HTTP2Connection.from(userData) else { return 0 }
            let isTaken = connection.didReceiveField(
                UnsafeRawBufferPointer(start: name, count: nameCount),
                UnsafeRawBufferPointer(start: value, count: valueCount)
            )
            return isTaken ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, userData in
            guard let frame else { return 0 }
            HTTP2Connection.from(userData)?.didReceive(frame)
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            session,
            _,
            streamID,
            data,
            count,
            userData in
            nghttp2_session_consume_connection(session, count)
            guard let connection = HTTP2Connection.from(userData), let exchange = connection.exchange(streamID) else {
                return 0
            }
            exchange.didReceiveBody(UnsafeRawBufferPointer(start: data, count: count), now: connection.now)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, streamID, code, userData in
            guard let connection = HTTP2Connection.from(userData), let exchange = connection.exchange(streamID) else {
                return 0
            }
            connection.streamDidClose(exchange, code: code)
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, userData in
            guard let frame, frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue) else { return 0 }
            HTTP2Connection.from(userData)?.didNotSendHead(frame.pointee.hd.stream_id)
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, source, userData in
            guard let header, let source, let connection = HTTP2Connection.from(userData),
                let data = source.pointee.ptr
            else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
            let exchange = Unmanaged<Exchange>.fromOpaque(data).takeUnretainedValue()
            let isWritten = connection.writeData(of: exchange, header: header, count: count)
            return isWritten ? 0 : NGHTTP2_ERR_WOULDBLOCK.rawValue
        }
    }

    /// Says how much of the request's body the next DATA frame takes; `writeData` writes it.
    static let readBody: nghttp2_data_source_read_callback = { _, _, _, limit, flags, source, _ in
        guard let data = source?.pointee.ptr else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let exchange = Unmanaged<Exchange>.fromOpaque(data).takeUnretainedValue()
        let left = max(0, exchange.bodyCount - exchange.bodySent)
        let count = min(left, limit)
        flags?.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if count == left { flags?.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        return count
    }
}
