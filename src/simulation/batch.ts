/**
 * The `multipart/mixed` of `$batch` as simulators take it apart: to the byte, by `Content-Length` where one is given.
 */

/** How a vendor is strict. */
export interface BatchReader {
  /** What it says of a batch that it cannot read; thrown. */
  malformed(message: string): Error
  /** Whether request lines may end without `HTTP/1.1`. */
  readonly bareRequestLines?: boolean
}

export interface BatchOperation {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

export type BatchItem =
  | { readonly kind: 'read'; readonly operation: BatchOperation }
  | { readonly kind: 'changeset'; readonly operations: readonly BatchOperation[] }

export function parseBatch(body: Buffer, contentType: string, reader: BatchReader): BatchItem[] {
  return partsOf(body, contentType, reader).map((part): BatchItem => {
    const { headers, rest } = headed(part, reader)
    const type = headers['content-type'] ?? ''
    if (type.startsWith('multipart/mixed')) {
      const operations = partsOf(rest, type, reader).map((inner) => {
        const { headers: own, rest: http } = headed(inner, reader)
        requireHttp(own, reader)
        if (!own['content-id']) throw reader.malformed('Content-ID is missing')
        return operationOf(http, reader)
      })
      return { kind: 'changeset', operations }
    }
    requireHttp(headers, reader)
    const operation = operationOf(rest, reader)
    if (operation.method !== 'GET') throw reader.malformed('a change outside a changeset')
    return { kind: 'read', operation }
  })
}

function requireHttp(headers: Record<string, string>, reader: BatchReader): void {
  if (headers['content-type'] !== 'application/http') throw reader.malformed('application/http expected')
  if (headers['content-transfer-encoding'] !== 'binary')
    throw reader.malformed('binary transfer encoding expected')
}

/** Lines end with CR LF, or the request is refused. */
function partsOf(body: Buffer, contentType: string, reader: BatchReader): Buffer[] {
  const boundary = /boundary=([^;]+)/.exec(contentType)?.[1]?.trim()
  if (!contentType.startsWith('multipart/mixed') || !boundary)
    throw reader.malformed('multipart/mixed expected')
  const parts: Buffer[] = []
  const mark = Buffer.from(`--${boundary}`)
  let at = body.indexOf(mark)
  if (at !== 0) throw reader.malformed('the body does not begin with its boundary')
  for (;;) {
    const start = at + mark.length
    const after = body.subarray(start, start + 2).toString()
    if (after === '--') return parts
    if (after !== '\r\n') throw reader.malformed('lines end with CR LF')
    const next = body.indexOf(Buffer.from(`\r\n--${boundary}`), start)
    if (next < 0) throw reader.malformed('the last boundary is missing')
    parts.push(body.subarray(start + 2, next))
    at = next + 2
  }
}

function headed(part: Buffer, reader: BatchReader): { headers: Record<string, string>; rest: Buffer } {
  if (part.subarray(0, 2).toString() === '\r\n') return { headers: {}, rest: part.subarray(2) }
  const end = part.indexOf('\r\n\r\n')
  if (end < 0) throw reader.malformed('a blank line is missing')
  const headers: Record<string, string> = {}
  for (const line of part.subarray(0, end).toString('utf8').split('\r\n')) {
    const [name, ...value] = line.split(':')
    if (value.length === 0) throw reader.malformed(`'${line}' is no header`)
    headers[(name ?? '').trim().toLowerCase()] = value.join(':').trim()
  }
  return { headers, rest: part.subarray(end + 4) }
}

function operationOf(http: Buffer, reader: BatchReader): BatchOperation {
  const end = http.indexOf('\r\n')
  const line = /^([A-Z]+) (\S+)( HTTP\/1\.1)?$/.exec(http.subarray(0, end).toString('utf8'))
  const [, method, path, version] = line ?? []
  if (end < 0 || !method || !path || !(version || reader.bareRequestLines))
    throw reader.malformed('a request line is missing')
  const { headers, rest } = headed(http.subarray(end + 2), reader)
  const length = headers['content-length']
  if (length !== undefined && rest.length < Number(length)) throw reader.malformed('a body is cut off')
  return { method, path, headers, body: length === undefined ? rest : rest.subarray(0, Number(length)) }
}

export interface BatchResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type BatchAnswer = { readonly changeset: boolean; readonly response: BatchResponse }

export function renderBatch(answers: readonly BatchAnswer[], boundary: string): string {
  const http = ({ status, headers, body }: BatchResponse) =>
    [
      'Content-Type: application/http',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'content-transfer-encoding: binary',
      '',
      `HTTP/1.1 ${status} ${status < 300 ? 'OK' : 'Error'}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n')
  const lines = answers.map(({ changeset, response }, at) => {
    if (!changeset) return `--${boundary}\r\n${http(response)}\r\n`
    const inner = `cs_${boundary}_${at}`
    const type = `Content-Type: multipart/mixed; boundary=${inner}\r\n\r\n`
    return `--${boundary}\r\n${type}--${inner}\r\n${http(response)}\r\n--${inner}--\r\n\r\n`
  })
  return `${lines.join('')}--${boundary}--\r\n`
}
