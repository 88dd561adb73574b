/** Broker topics as feeds and sinks of one process, from the configuration. */
import type { Log } from '../../observe/log.ts'
import type { BrokerSettings } from './config.ts'
import { type BrokerFeedOptions, type BrokerFeeds, createBrokerFeeds } from './feed.ts'
import type { Broker } from './port.ts'
import { type BrokerSinkOptions, type BrokerSinks, createBrokerSinks } from './sink.ts'

export interface Brokers {
  readonly feeds: BrokerFeeds
  readonly sinks: BrokerSinks
  start(): void
  close(): Promise<void>
}

interface Settings {
  readonly brokers: Readonly<Record<string, BrokerSettings>>
  readonly feeds: BrokerFeedOptions['settings']
  readonly sinks: BrokerSinkOptions['settings']
}

type Options = Omit<BrokerFeedOptions & BrokerSinkOptions, 'settings' | 'broker'>

export function createBrokers(settings: Settings, options: Options): Brokers {
  const open = new Map<string, Promise<Broker>>()
  /** Opened by the first who needs it. */
  const broker = (name: string, logger: Log = options.logger): Promise<Broker> => {
    const known = open.get(name)
    if (known) return known
    const of = settings.brokers[name]
    if (!of) throw new Error(`no broker ${name}`) // the configuration was checked
    const opened = openBroker(of, logger.child({ broker: name }))
    open.set(name, opened)
    return opened
  }
  const feeds = createBrokerFeeds({ ...options, settings: settings.feeds, broker })
  const sinks = createBrokerSinks({ ...options, settings: settings.sinks, broker })
  return {
    feeds,
    sinks,
    start() {
      feeds.start()
      sinks.start()
    },
    async close() {
      await Promise.all([feeds.close(), sinks.close()])
      const all = await Promise.allSettled(open.values())
      await Promise.all(all.map((one) => (one.status === 'fulfilled' ? one.value.close() : undefined)))
    },
  }
}

/** Loads the broker's library: only who configures a broker pays for it. */
export async function openBroker(settings: BrokerSettings, logger: Log): Promise<Broker> {
  switch (settings.kind) {
    case 'nats':
      return (await import('./nats.ts')).createNatsBroker(settings, logger)
    case 'rocketmq':
      return (await import('./rocketmq.ts')).createRocketMqBroker(settings, logger)
  }
}
