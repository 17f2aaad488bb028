import type { Destination } from '../api/virtual-service.ts'

/** What becomes of requests for a destination whose cluster does not exist. */
export const unreachable = ({ isMirror }: Destination): string =>
  isMirror
    ? 'the cluster that this names does not exist, and the copies are lost'
    : 'the route leads to a cluster that does not exist, and callers get 503'
