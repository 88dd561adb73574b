/**
 * `$batch`: several requests in one, as `multipart/mixed`. Reads are parts, each write is a changeset of its own:
 * SAP's Gateway takes one operation per changeset unless a service can do more.
 * @see OData 2.0, Batch Processing; OData 4.0, Batch Requests
 */
import { SourceError } from '../failure.ts'
import type { HttpAnswer } from './http.ts'

export interface BatchPart {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** As the system reads it: below the service, or from the root. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const EOL = '\r\n'

export function writeBatch(parts: readonly BatchPart[], boundary: string): string {
  const lines: string[] = []
  for (const [at, part] of parts.entries()) {
    lines.push(`--${boundary}`)
    if (part.method === 'GET') {
      lines.push(...operation(part))
      continue
    }
    // Not the outer boundary with something behind it: that one would seem to begin here.
    const changeset = `changeset_${at + 1}_${boundary}`
    lines.push(`Content-Type: multipart/mixed; boundary=${changeset}`, '', `--${changeset}`)
    lines.push(...operation(part, String(at + 1)), `--${changeset}--`, '')
  }
  return [...lines, `--${boundary}--`, ''].join(EOL)
}

function operation(part: BatchPart, contentId?: string): string[] {
  const body = part.body ?? ''
  const headers = {
    accept: 'application/json',
    ...(part.body === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
    ...part.headers,
  }
  return [
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    ...(contentId === undefined ? [] : [`Content-ID: ${contentId}`]),
    '',
    `${part.method} ${part.path} HTTP/1.1`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    body,
  ]
}

/**
 * The answers to the parts, in order. A changeset answers with its one operation, or with the error in its place.
 * @throws SourceError `invalid-response`
 */
export function readBatch(answer: HttpAnswer): HttpAnswer[] {
  return split(answer.text, String(answer.headers['content-type'] ?? '')).map((part): HttpAnswer => {
    const { headers, rest } = readHeaders(part)
    const type = String(headers['content-type'] ?? '')
    if (!/^multipart\/mixed/i.test(type)) return readHttp(rest)
    const [only] = split(rest, type)
    return readHttp(readHeaders(only ?? '').rest)
  })
}

/** As `readBatch`, of a system that answers every part whatever became of those before. */
export function readWholeBatch(answer: HttpAnswer, expected: number): HttpAnswer[] {
  const answers = readBatch(answer)
  if (answers.length !== expected) throw unreadable(`${answers.length} answers to ${expected} requests`)
  return answers
}

function split(text: string, type: string): string[] {
  const boundary = /boundary="?([^";]+)"?/i.exec(type)?.[1]
  if (boundary === undefined) throw unreadable('no boundary')
  const parts = `\n${text}`.split(new RegExp(`\\r?\\n--${RegExp.escape(boundary)}(?=--|[ \\t]*\\r?\\n)`))
  // Without the closing line something is missing, even if each part looks whole.
  if (!parts.at(-1)?.startsWith('--')) throw unreadable('cut off')
  return parts.slice(1, -1).map((part) => part.replace(/^[ \t]*\r?\n/, ''))
}

function readHeaders(text: string): { headers: HttpAnswer['headers']; rest: string } {
  const end = /\r?\n\r?\n/.exec(`${text}\r\n\r\n`)
  const at = end?.index ?? text.length
  const headers: Record<string, string> = {}
  for (const line of text.slice(0, at).split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { headers, rest: text.slice(at + (end?.[0].length ?? 0)) }
}

function readHttp(text: string): HttpAnswer {
  const [, status, after] = /^\s*HTTP\/1\.\d (\d{3})[^\r\n]*\r?\n?([\s\S]*)$/.exec(text) ?? []
  if (status === undefined || after === undefined) throw unreadable('a part is no HTTP answer')
  const { headers, rest } = readHeaders(after)
  return { status: Number(status), headers, text: rest }
}

const unreadable = (detail: string): SourceError =>
  new SourceError({ kind: 'invalid-response', detail: `$batch: ${detail}` })
