/** Publish and subscribe by topic, as servers without a log have it. */
import { EventEmitter, on } from 'node:events'

export interface StockEvent {
  readonly sku: string
  readonly onHand: string
  readonly position: number
}

export function createTopics() {
  const events = new EventEmitter().setMaxListeners(0)
  return {
    publish(event: StockEvent): void {
      events.emit(event.sku, event)
    },
    async *follow(sku: string): AsyncGenerator<StockEvent> {
      for await (const [event] of on(events, sku) as AsyncIterable<[StockEvent]>) yield event
    },
  }
}

/** The event as a payload's own fields. */
export const changeOf = ({ onHand, position }: StockEvent) => ({
  cursor: String(position),
  time: new Date().toISOString(),
  event: 'product.inventory.changed',
  onHandAfter: onHand,
})
