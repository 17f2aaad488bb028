import type { AddressRange, Block } from '../api/address.ts'
import { type NamespacedName, sameName } from '../api/metadata.ts'
import type { ClusterView, Held, Holder } from '../view/view.ts'
import type { Pool } from './pool.ts'

/** Whether a range takes in a whole pool. A ServiceEntry that captures so much traffic holds no address of it. */
export const takesIn = (range: AddressRange, pools: readonly Pool[]): boolean =>
  pools.some(({ family, first, last }) => range.family === family && range.first <= first && last <= range.last)

/** Whether somebody holds each address of a block, so that there is no need to look at one after the other. */
export const isHeld = ({ addresses, ranges }: Held, { bits }: Block, pools: readonly Pool[]): boolean =>
  addresses >= 2 ** bits || ranges.some((range) => !takesIn(range, pools))

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
