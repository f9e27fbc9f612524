import { useState } from 'react';
import { items, type Item } from '../data';
import css from './inventory.module.css';

const radius = 22;
const around = 2 * Math.PI * radius;

function Gauge({ item, low }: { item: Item; low: boolean }) {
  return (
    <svg className={css.gauge} viewBox="0 0 52 52" role="img" aria-label={`${item.stock} of ${item.capacity}`}>
      <circle className={css.ring} cx="26" cy="26" r={radius} />
      <circle
        className={low ? css.arcLow : css.arc}
        cx="26"
        cy="26"
        r={radius}
        strokeDasharray={`${(item.stock / item.capacity) * around} ${around}`}
      />
      <text className={css.stock} x="26" y="31">
        {item.stock}
      </text>
    </svg>
  );
}

const byNeed = [...items].sort((a, b) => a.stock / a.reorder - b.stock / b.reorder);

export default function InventoryPage() {
  const [ordered, setOrdered] = useState<readonly string[]>([]);
  return (
    <section className={css.inventory} data-testid="inventory" data-version={__VERSION__}>
      <header className={css.head}>
        <h2 className={css.title}>Stock by need</h2>
        <p className={css.note}>{items.reduce((sum, item) => sum + item.stock, 0)} units</p>
      </header>
      <ul className={css.cards}>
        {byNeed.map((item) => {
          const low = item.stock < item.reorder;
          const waiting = ordered.includes(item.sku);
          return (
            <li key={item.sku} className={low ? css.cardLow : css.card}>
              <Gauge item={item} low={low} />
              <div className={css.text}>
                <span className={css.name}>{item.name}</span>
                <span className={css.detail}>
                  {item.sku}, {item.place}
                </span>
              </div>
              {low ? (
                <button
                  type="button"
                  className={css.reorder}
                  disabled={waiting}
                  onClick={() => setOrdered([...ordered, item.sku])}
                >
                  {waiting ? 'Ordered' : 'Reorder'}
                </button>
              ) : (
                <span className={css.detail}>{Math.round((item.stock / item.capacity) * 100)}% full</span>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
