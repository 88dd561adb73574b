/**
 * Where an outgoing webhook may go. Judged by the address that is connected to, after the name was resolved: a name
 * that answers differently the second time leads nowhere.
 */
import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Agent, buildConnector } from 'undici'

/** IANA special-purpose registries: nothing of these is on the public internet. */
const INTERNAL: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
]

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

const internal = blockList(INTERNAL)

/** `10.1.0.0/16`, `fd00::/8`, or one address. */
export function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32))
}

/** @param allowed Networks of one's own that may be reached all the same. */
export function createAddressCheck(allowed: readonly string[]): (address: string) => boolean {
  const exceptions = blockList(allowed)
  return (address) => {
    // BlockList looks through IPv4 addresses written as IPv6.
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    return !internal.check(address, family) || exceptions.check(address, family)
  }
}

export class ForbiddenAddress extends Error {
  constructor(address: string) {
    super(`${address} is an internal address; an operator can allow it in the configuration (outbound.allow)`)
  }
}

/** Connects to permitted addresses only. */
export function createOutboundAgent(isAllowed: (address: string) => boolean, timeoutMs: number): Agent {
  const guarded: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const permitted = addresses.filter(({ address }) => isAllowed(address))
      const [first] = permitted
      if (!first) return callback(new ForbiddenAddress(addresses[0]?.address ?? hostname), '', 0)
      if (options.all) return callback(null, permitted as never, 0)
      callback(null, first.address, first.family)
    })
  }
  const connect = buildConnector({ lookup: guarded, timeout: timeoutMs })
  return new Agent({
    connect(options, callback) {
      // An address that is written out is not looked up.
      const host = options.hostname.replace(/^\[|\]$/g, '')
      if (isIP(host) !== 0 && !isAllowed(host)) return callback(new ForbiddenAddress(host), null)
      connect(options, callback)
    },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: 64 * 1024,
  })
}
