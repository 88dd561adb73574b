/** What the Gateway says when it says no, in JSON or, on some services and from its outer layers, in XML. */
import { z } from 'zod'
import type { SourceFailure } from '../failure.ts'
import { type HttpAnswer, retryAfterMs } from '../kit/http.ts'
import { parseJson } from '../kit/json.ts'
import type { Words } from '../kit/words.ts'
import { readXml } from '../kit/xml.ts'

const SERVICE_NOT_ACTIVE = '/IWFND/MED/170'
/** Some services answer so where there are no rows. */
export const NO_DATA = '/IWBEP/CM_MGW_RT/022'
/** Repeats at the end of the details that something was wrong. */
const GENERIC = '/IWBEP/CX_MGW_BUSI_EXCEPTION'
/** The codes of locks differ by application and are not known; the words are those of English. */
const LOCKED = /currently (?:being )?(?:processed|locked|edited|blocked)|is locked by|locked by user/i

const message = z.union([z.string(), z.object({ value: z.string() }).transform(({ value }) => value)])
const detail = z.object({
  code: z.string().catch(''),
  message: z.string().catch(''),
  propertyref: z.string().nullish().catch(null),
  target: z.string().nullish().catch(null),
  severity: z.string().nullish().catch(null),
})
const errorSchema = z.object({
  error: z.object({
    code: z.string().catch(''),
    message,
    innererror: z
      .object({ errordetails: z.array(detail).catch([]) })
      .partial()
      .nullish()
      .catch(null),
  }),
})

export interface VendorError {
  readonly code: string
  readonly message: string
  readonly details: readonly z.infer<typeof detail>[]
}

export function vendorError(answer: HttpAnswer): VendorError | undefined {
  try {
    if (answer.text.trimStart().startsWith('<')) return xmlError(answer.text)
    const parsed = errorSchema.safeParse(parseJson(answer.text, 'error'))
    if (!parsed.success) return undefined
    const { code, message, innererror } = parsed.data.error
    return { code, message, details: innererror?.errordetails ?? [] }
  } catch {
    return undefined // a proxy's page, or half an answer
  }
}

function xmlError(text: string): VendorError | undefined {
  const root = readXml(text)
  if (root.name !== 'error') return undefined
  const child = (name: string) => root.children.find((one) => one.name === name)?.text ?? ''
  return { code: child('code'), message: child('message'), details: [] }
}

export interface Errors {
  /** What an answer that is no success to a read means. */
  read(answer: HttpAnswer, what: string): SourceFailure
  /** The same to a write. */
  write(answer: HttpAnswer): SourceFailure
  /** Warnings that came with a success, in the vendor's words. */
  warnings(answer: HttpAnswer): string | undefined
}

export function createErrors({ tidy }: Words): Errors {
  /** What means the same to reads and to writes: nothing was done. */
  const common = (
    answer: HttpAnswer,
    error: VendorError | undefined,
    detail: string,
  ): SourceFailure | undefined => {
    if (answer.status === 429) {
      const after = retryAfterMs(answer.headers)
      return {
        kind: 'unavailable',
        reason: 'rate-limited',
        detail,
        ...(after === undefined ? {} : { retryAfterMs: after }),
      }
    }
    if (answer.status === 401) return { kind: 'unauthorized', detail }
    if (error?.code === SERVICE_NOT_ACTIVE) {
      return { kind: 'unsupported', message: `This service is not active in the system (${error.code}).` }
    }
    if (answer.status === 403) {
      const words = error ? wordsOf(error) : 'The system does not allow this.'
      return { kind: 'rejected', code: error?.code ?? '403', message: tidy(words) }
    }
    if (error && answer.status < 500 && LOCKED.test(wordsOf(error))) {
      return { kind: 'unavailable', reason: 'overloaded', detail, retryAfterMs: 2_000 }
    }
    return undefined
  }

  const detailOf = (answer: HttpAnswer, error: VendorError | undefined, what: string) =>
    tidy(`${what}: HTTP ${answer.status} ${error ? `${error.code} ${wordsOf(error)}` : ''}`.trim())

  const rejection = (error: VendorError): SourceFailure => {
    const [first] = meaningful(error)
    const place = first?.target || first?.propertyref || ''
    const line = /Item='?0*(\d+)'?/.exec(place)?.[1]
    const field = /(?:^|\/)([A-Za-z]\w*)$/.exec(place)?.[1]
    return {
      kind: 'rejected',
      code: first?.code || error.code,
      message: tidy(wordsOf(error)),
      ...(line === undefined ? {} : { line }),
      ...(field === undefined ? {} : { field }),
    }
  }

  return {
    read(answer, what) {
      const error = vendorError(answer)
      const detail = detailOf(answer, error, what)
      const known = common(answer, error, detail)
      if (known) return known
      if (answer.status >= 500 && answer.status !== 501) {
        const after = retryAfterMs(answer.headers)
        return {
          kind: 'unavailable',
          reason: 'overloaded',
          detail,
          ...(after === undefined ? {} : { retryAfterMs: after }),
        }
      }
      if (!error) return { kind: 'invalid-response', detail }
      if (answer.status === 404) return { kind: 'not-found', message: tidy(wordsOf(error)) }
      return rejection(error)
    },

    write(answer) {
      const error = vendorError(answer)
      const detail = detailOf(answer, error, 'write')
      const known = common(answer, error, detail)
      if (known) return known
      // 501 is the Gateway's answer to a change of nothing; any other 5xx may have come after the commit.
      if (!error || (answer.status >= 500 && answer.status !== 501))
        return { kind: 'unknown-outcome', detail }
      if (answer.status === 412 || answer.status === 428)
        return { kind: 'conflict', message: tidy(wordsOf(error)) }
      if (answer.status === 404) return { kind: 'not-found', message: tidy(wordsOf(error)) }
      return answer.status >= 400 ? rejection(error) : { kind: 'unknown-outcome', detail }
    },

    warnings(answer) {
      const header = answer.headers['sap-message']
      if (typeof header !== 'string') return undefined
      const parsed = warningSchema.safeParse(safeJson(header))
      if (!parsed.success) return undefined
      const all = [parsed.data, ...parsed.data.details].filter(({ severity }) => severity !== 'success')
      const words = [...new Set(all.map((one) => one.message).filter(Boolean))].join(' ')
      return words === '' ? undefined : tidy(words)
    },
  }
}

const warning = z.object({ message: z.string().catch(''), severity: z.string().catch('') })
const warningSchema = warning.extend({ details: z.array(warning).catch([]) })

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const meaningful = (error: VendorError) =>
  error.details.filter(
    (one) => one.code !== GENERIC && (one.severity ?? 'error') === 'error' && one.message !== '',
  )

/** The message, and those of the details that say something else. */
function wordsOf(error: VendorError): string {
  return [...new Set([error.message, ...meaningful(error).map((one) => one.message)])].join(' ').trim()
}
