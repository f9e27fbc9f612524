import { useState } from 'react';
import { euros, orders, type Order } from '../data';
import css from './orders.module.css';

const views = {
  All: () => true,
  Open: (order: Order) => order.status !== 'Shipped',
  Late: (order: Order) => order.status === 'Late',
} as const;
type View = keyof typeof views;

const revenue = [18, 24, 21, 33, 29, 41, 38, 52, 47, 63, 70, 82];

function Trend() {
  const points = revenue.map((value, i) => `${((i / (revenue.length - 1)) * 160).toFixed(1)},${(44 - value / 2.1).toFixed(1)}`);
  return (
    <svg className={css.trend} viewBox="0 0 160 48" preserveAspectRatio="none" aria-hidden="true">
      <polygon className={css.area} points={`0,48 ${points.join(' ')} 160,48`} />
      <polyline className={css.curve} points={points.join(' ')} />
    </svg>
  );
}

const initials = (name: string) =>
  name
    .split(/\s+/)
    .filter((word) => /^\p{L}/u.test(word))
    .slice(0, 2)
    .map((word) => word[0])
    .join('');

export default function OrdersPage() {
  const [view, setView] = useState<View>('All');
  const total = orders.reduce((sum, order) => sum + order.total, 0);
  return (
    <section className={css.orders} data-testid="orders" data-version={__VERSION__}>
      <div className={css.figures}>
        <div className={css.hero}>
          <div>
            <p className={css.label}>Revenue today</p>
            <p className={css.figure}>{euros(total)}</p>
            <p className={css.delta}>18% up on last week</p>
          </div>
          <Trend />
        </div>
        <div className={css.tile}>
          <p className={css.label}>Open</p>
          <p className={css.figure}>{orders.filter(views.Open).length}</p>
        </div>
        <div className={css.tile}>
          <p className={css.label}>Late</p>
          <p className={`${css.figure} ${css.late}`}>{orders.filter(views.Late).length}</p>
        </div>
      </div>

      <div className={css.bar}>
        <h2 className={css.title}>Orders</h2>
        <div className={css.views} role="group" aria-label="Which orders">
          {(Object.keys(views) as View[]).map((name) => (
            <button key={name} type="button" aria-pressed={name === view} onClick={() => setView(name)}>
              {name}
            </button>
          ))}
        </div>
      </div>

      <ul className={css.list}>
        {orders.filter(views[view]).map((order) => (
          <li key={order.id} className={css.row}>
            <span className={css.avatar} aria-hidden="true">
              {initials(order.customer)}
            </span>
            <span className={css.who}>
              <span className={css.customer}>{order.customer}</span>
              <span className={css.detail}>
                #{order.id}, {order.items} {order.items === 1 ? 'item' : 'items'} to {order.city}
              </span>
            </span>
            <span className={css.stage}>
              <span className={order.status === 'Late' ? css.late : undefined}>{order.status}</span>
              <span className={css.track}>
                <span
                  className={`${css.fill} ${order.status === 'Late' ? css.slow : ''}`}
                  style={{ width: `${order.progress * 100}%` }}
                />
              </span>
            </span>
            <span className={css.total}>{euros(order.total)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
