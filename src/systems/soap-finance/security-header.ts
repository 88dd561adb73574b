/**
 * Who we are, in the header. WS-Security's UsernameToken speaks for one attempt only: servers remember nonces and
 * refuse what is older than about five minutes. The other profile is the one of the project's first integration
 * sketch: one element, in a namespace of an early draft of WS-Security.
 * @see OASIS Web Services Security UsernameToken Profile 1.1.1
 */
import { createHash } from 'node:crypto'
import { escapeXml } from '../kit/xml.ts'
import type { SoapFinanceConfig } from './config.ts'

const OASIS = 'http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss'
const WSSE = `${OASIS}-wssecurity-secext-1.0.xsd`
const WSU = `${OASIS}-wssecurity-utility-1.0.xsd`
const TOKEN_PROFILE = `${OASIS}-username-token-profile-1.0`
const BASE64 = `${OASIS}-soap-message-security-1.0#Base64Binary`

const AUTHORIZATION = 'http://schemas.xmlsoap.org/ws/2002/12/secext'

/** Base64(SHA-1(nonce bytes + created + password)); what is not sent is not hashed. */
export function passwordDigest(
  nonce: Buffer | undefined,
  created: string | undefined,
  password: string,
): string {
  const hash = createHash('sha1')
  if (nonce) hash.update(nonce)
  if (created) hash.update(created, 'utf8')
  return hash.update(password, 'utf8').digest('base64')
}

/**
 * @param nonce Fresh random bytes, never used before.
 * @returns The element `wsse:Security` or `auth:Authorization`; the prefix `soap` must be declared around it. Undefined
 * where an HTTP header says it.
 */
export function securityHeader(
  { username, password, security }: Pick<SoapFinanceConfig, 'username' | 'password' | 'security'>,
  now: Date,
  nonce: Buffer,
): string | undefined {
  if (security.profile === 'basic') return undefined
  if (security.profile === 'authorization') {
    const basic = basicOf(username, password)
    return `<auth:Authorization xmlns:auth="${AUTHORIZATION}">Basic ${basic}</auth:Authorization>`
  }
  const created = xmlTime(now)
  const sentNonce = security.nonce ? nonce : undefined
  const sentCreated = security.created ? created : undefined
  const [type, secret] =
    security.passwordType === 'digest'
      ? ['PasswordDigest', passwordDigest(sentNonce, sentCreated, password)]
      : ['PasswordText', password]
  const expires = xmlTime(new Date(now.getTime() + security.lifetimeSeconds * 1000))
  return [
    `<wsse:Security${security.mustUnderstand ? ' soap:mustUnderstand="1"' : ''} xmlns:wsse="${WSSE}" xmlns:wsu="${WSU}">`,
    security.timestamp
      ? `<wsu:Timestamp wsu:Id="TS-1"><wsu:Created>${created}</wsu:Created><wsu:Expires>${expires}</wsu:Expires></wsu:Timestamp>`
      : '',
    '<wsse:UsernameToken wsu:Id="UT-1">',
    `<wsse:Username>${escapeXml(username)}</wsse:Username>`,
    `<wsse:Password Type="${TOKEN_PROFILE}#${type}">${escapeXml(secret)}</wsse:Password>`,
    sentNonce ? `<wsse:Nonce EncodingType="${BASE64}">${sentNonce.toString('base64')}</wsse:Nonce>` : '',
    sentCreated ? `<wsu:Created>${sentCreated}</wsu:Created>` : '',
    '</wsse:UsernameToken></wsse:Security>',
  ].join('')
}

/** User and password as one text; a server may repeat it in its errors. */
export const basicOf = (username: string, password: string): string =>
  Buffer.from(`${username}:${password}`, 'utf8').toString('base64')

/** UTC with `Z` and without fractions, which some servers cannot read. */
const xmlTime = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`
