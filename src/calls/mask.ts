/** Takes out of a text on the wire what nobody may read later: credentials always, other fields by configuration. Pure. */

/** Names of fields, in lower case and without `-` and `_`; what ends so counts too: `app_secret`, `sessionId`. */
const SECRETS = [
  'password',
  'passwd',
  'pwd',
  'secret',
  'token',
  'apikey',
  'appkey',
  'authorization',
  'signature',
  'sign',
  'sessionid',
  'cookie',
  'nonce',
  'passworddigest',
  'clientassertion',
  'assertion',
]

export const MASK = '***'

/** @param more Further fields, for example `phone`. @returns The text with their values replaced, in JSON, XML and forms. */
export function createMask(more: readonly string[]): (text: string) => string {
  const names = [...SECRETS, ...more.map((name) => name.toLowerCase().replaceAll(/[-_]/g, ''))].map((name) =>
    // However its words are joined.
    [...name].map((letter) => letter.replaceAll(/[^\p{L}\p{N}]/gu, '\\$&')).join('[-_]?'),
  )
  const name = `[\\w.-]{0,40}(?:${names.join('|')})`
  const json = new RegExp(`("${name}"\\s*:\\s*)("(?:[^"\\\\]|\\\\.)*"?|[-\\d.]+)`, 'giu')
  // JSON inside JSON, as some vendors wrap it.
  const escaped = new RegExp(`(\\\\"${name}\\\\"\\s*:\\s*)\\\\"(?:[^"\\\\]|\\\\\\\\.)*(?:\\\\")?`, 'giu')
  const xml = new RegExp(`(<(?:[\\w-]+:)?${name}(?:\\s[^<>]*)?>)[^<]*`, 'giu')
  const form = new RegExp(`((?:^|[?&])${name}=)[^&\\s]*`, 'giu')
  // Most bodies hold none of them: one quick look instead of four careful ones.
  const any = new RegExp(names.join('|'), 'iu')
  return (text) => {
    if (!any.test(text)) return text
    return text
      .replaceAll(json, `$1"${MASK}"`)
      .replaceAll(escaped, `$1\\"${MASK}\\"`)
      .replaceAll(xml, `$1${MASK}`)
      .replaceAll(form, `$1${MASK}`)
  }
}
