import { networkLabel } from '../api/service.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const serviceGatewayLabel: Rule<ServiceSubject> = {
  id: 'service-gateway-label',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'A virtual host has the label `topology.istio.io/network`.',
  why:
    'Istio takes a Service with this label and an external IP, which every virtual host has, for a gateway between networks if it has ' +
    'port 15443, 15008 or the one that `networking.istio.io/gatewayPort` names. Sidecars in other networks then send what is for this ' +
    'network to the external IP, where nothing listens.',
  check: ({ service: { hasNetworkLabel }, isVirtualHost }) =>
    isVirtualHost && hasNetworkLabel
      ? [
          {
            field: `metadata.labels[${networkLabel}]`,
            about: networkLabel,
            problem: `label ${networkLabel} is for gateways between networks`,
            reason: 'other networks may then be told to reach this one by its external IP, where nothing listens',
            fix: 'take the label away',
          },
        ]
      : [],
}
