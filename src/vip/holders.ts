import type { AddressRange } from '../api/address.ts'
import { type NamespacedName, sameName } from '../api/metadata.ts'
import type { ClusterView, Holder } from '../view/view.ts'
import type { Pool } from './pool.ts'

/** Whether a range takes in a whole pool. A ServiceEntry that captures so much traffic holds no address of it. */
const takesIn = (range: AddressRange, pools: readonly Pool[]): boolean =>
  range.family === 4 &&
  pools.some(({ network, span }) => range.first <= BigInt(network) && BigInt(network + span - 1) <= range.last)

/** Whoever holds an address of the pools beside a Service; undefined where it is that Service's or nobody's. */
export const otherHolder = (
  address: string,
  service: NamespacedName,
  pools: readonly Pool[],
  view: ClusterView,
): Holder | undefined =>
  view
    .holders(address)
    .find(
      (holder) =>
        (holder.service === undefined || !sameName(holder.service, service)) &&
        (holder.range === undefined || !takesIn(holder.range, pools)),
    )
