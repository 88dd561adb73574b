/**
 * What NC Cloud wants of cryptography: secrets encrypted with the application's public key, hashes that it calls
 * signatures, and bodies that are compressed and encrypted as the application's level says.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  publicEncrypt,
} from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { publicKeyText, type YonyouNcConfig } from './config.ts'

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex')
const sha1 = (data: Buffer | string): Buffer => createHash('sha1').update(data).digest()

/**
 * 16 bytes of Java's SHA1PRNG seeded with the public key, in Base64: once seeded, that generator is deterministic,
 * and its first output is the hash of its state, which is the hash of the seed.
 */
export function saltOf(publicKey: string): string {
  return sha1(sha1(publicKey)).subarray(0, 16).toString('base64')
}

export interface Sealing {
  /** RSA in pieces, Base64; differs on every call. */
  encrypt(secret: string): string
  /** @param parts What stands between the application's code and its public key. */
  signToken(...parts: readonly string[]): string
  /** @param body Plain, as it is before `pack`. */
  signCall(body: string): string
  pack(body: string, securityKey: string): string
  /** @throws Error where it was not packed that way */
  unpack(body: string, securityKey: string): string
}

type SealingConfig = Pick<
  YonyouNcConfig,
  'clientId' | 'publicKey' | 'rsaPadding' | 'rsaBlockBytes' | 'tokenSignature' | 'callSignature' | 'bodyLevel'
>

/** Longer answers than this are not unpacked: a small body may unpack to any length. */
const MAX_UNPACKED = 64 * 1024 * 1024

export function createSealing(config: SealingConfig): Sealing {
  const keyText = publicKeyText(config.publicKey)
  const key = createPublicKey({ key: Buffer.from(keyText, 'base64'), format: 'der', type: 'spki' })
  const salt = saltOf(keyText)
  const sign = (scheme: 'plain' | 'salted', ...parts: readonly string[]) =>
    sha256([config.clientId, ...parts, keyText, ...(scheme === 'salted' ? [salt] : [])].join(''))
  const padding =
    config.rsaPadding === 'oaep'
      ? { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
      : { padding: constants.RSA_PKCS1_PADDING }

  const aes = (make: typeof createCipheriv | typeof createDecipheriv, securityKey: string, data: Buffer) => {
    const secret = Buffer.from(securityKey, 'base64')
    // The key's own text is the start of the counter.
    const cipher = make(`aes-${secret.length * 8}-ctr`, secret, Buffer.from(securityKey.slice(0, 16), 'utf8'))
    return Buffer.concat([cipher.update(data), cipher.final()])
  }
  const steps = {
    encrypt: {
      pack: (text: string, securityKey: string) =>
        aes(createCipheriv, securityKey, Buffer.from(text, 'utf8')).toString('base64'),
      unpack: (text: string, securityKey: string) =>
        aes(createDecipheriv, securityKey, Buffer.from(text, 'base64')).toString('utf8'),
    },
    compress: {
      pack: (text: string) => gzipSync(Buffer.from(text, 'utf8')).toString('base64'),
      unpack: (text: string) =>
        gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: MAX_UNPACKED }).toString('utf8'),
    },
  }
  const levels = {
    L0: [],
    L1: [steps.encrypt],
    L2: [steps.compress],
    L3: [steps.compress, steps.encrypt],
    L4: [steps.encrypt, steps.compress],
  }
  const level = levels[config.bodyLevel]

  return {
    encrypt(secret) {
      const bytes = Buffer.from(secret, 'utf8')
      const pieces: Buffer[] = []
      for (let at = 0; at < bytes.length; at += config.rsaBlockBytes) {
        pieces.push(publicEncrypt({ key, ...padding }, bytes.subarray(at, at + config.rsaBlockBytes)))
      }
      return Buffer.concat(pieces).toString('base64')
    },
    signToken: (...parts) => sign(config.tokenSignature, ...parts),
    signCall: (body) => sign(config.callSignature, body),
    pack: (body, securityKey) => level.reduce((text, step) => step.pack(text, securityKey), body),
    unpack: (body, securityKey) => level.reduceRight((text, step) => step.unpack(text, securityKey), body),
  }
}
