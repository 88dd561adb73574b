/**
 * Texts that only who knows a system's own credentials can read. For what the next process must find although this one
 * was killed, and what may not stand in clear where credentials do not stand: a session that is open.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'

export interface Seal {
  close(text: string): Promise<string>
  /** Null: sealed with other credentials, or about something else. */
  open(sealed: string): Promise<string | null>
}

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * AES-256-GCM. The key costs time on purpose (scrypt, RFC 7914): what is sealed must be no place to try passwords at.
 * @param about What the text belongs to; another cannot open it.
 */
export function createSeal(secret: string, about: string): Seal {
  const keys = new Map<string, Promise<Buffer>>()
  const keyOf = (salt: Buffer): Promise<Buffer> => {
    const name = salt.toString('base64url')
    const known = keys.get(name)
    if (known) return known
    const made = new Promise<Buffer>((resolve, reject) =>
      scrypt(secret, salt, KEY_BYTES, (error, key) => (error ? reject(error) : resolve(key))),
    )
    keys.set(name, made)
    return made
  }
  const own = randomBytes(16)

  return {
    async close(text) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', await keyOf(own), nonce).setAAD(Buffer.from(about))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return [own, nonce, body].map((part) => part.toString('base64url')).join('.')
    },
    async open(sealed) {
      const [salt, nonce, body] = sealed.split('.').map((part) => Buffer.from(part, 'base64url'))
      if (!salt || !body || nonce?.length !== NONCE_BYTES || body.length < TAG_BYTES) return null
      const decipher = createDecipheriv('aes-256-gcm', await keyOf(salt), nonce)
      decipher.setAAD(Buffer.from(about)).setAuthTag(body.subarray(-TAG_BYTES))
      try {
        const text = Buffer.concat([decipher.update(body.subarray(0, -TAG_BYTES)), decipher.final()])
        return text.toString('utf8')
      } catch {
        return null
      }
    },
  }
}
